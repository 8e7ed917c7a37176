"""What the steps of the action do before, around, and after evalkit, with nothing but Python."""
