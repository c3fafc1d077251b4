"""The faces of Tongbao: HTTP surfaces, pages and the command line. The only place that wires rooms together."""
