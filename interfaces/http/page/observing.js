// The views of observers, of their failed partitions and of the diagnosis, by their names in addresses.

import { diagnosisView } from "./diagnosis.js";
import { observerView } from "./observer.js";
import { observersView } from "./observers.js";
import { partitionView } from "./partition.js";

export const OBSERVING = { observers: observersView, observer: observerView, partition: partitionView, diagnosis: diagnosisView };
