"""The doors for programs: the health check of load balancers and the command API."""
