"""Who belongs to the cluster and where its actors live: values and decisions, all pure, and the ports for the rest."""
