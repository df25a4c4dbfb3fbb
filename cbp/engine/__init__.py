"""What drives the core: plans of networks, passes over data, runs of ``fit``; internal."""
