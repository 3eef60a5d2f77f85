"""The client of a server: what programs import as `milepost.client`."""
