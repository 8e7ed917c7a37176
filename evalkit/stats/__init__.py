"""Compute exact tests and confidence intervals with numpy."""
