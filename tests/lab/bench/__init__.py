"""The benchmark: workloads run end to end on a daemon of its own, each beside a reference taken in the same run."""
