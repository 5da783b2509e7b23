"""The Grafana dashboards as code: what they ask and how they look, from which the JSON files are written."""
