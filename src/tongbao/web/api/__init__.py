"""HTTP interfaces: routes that parse, call one service and render."""
