"""nemochat's own tools. Names, descriptions and parameters of the first four are those that the demo model was trained with."""
