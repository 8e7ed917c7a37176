"""Score one trial with built-in metrics, rubrics and plugins."""
