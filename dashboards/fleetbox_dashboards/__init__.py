"""Shows the fleet in Grafana: boards and alert rules as reviewed code."""
