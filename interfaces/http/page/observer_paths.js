// The paths of a namespace's observers, of their failed partitions, and of its diagnosis.

export function observerPaths(place) {
  const namespace = `/api/event-stores/${encodeURIComponent(place.eventStore)}/namespaces/${encodeURIComponent(place.namespace)}`;
  const failed = `${namespace}/failed-partitions`;
  return {
    observers: `${namespace}/observers`,
    observer: (name) => `${namespace}/observers/${encodeURIComponent(name)}`,
    stream: `${namespace}/observers/stream`,
    failed,
    partition: (name, partition) => `${failed}/${encodeURIComponent(name)}/${encodeURIComponent(partition)}`,
    diagnosis: `${namespace}/diagnosis`,
  };
}
