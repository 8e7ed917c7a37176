"""What agents tell of their steps, by whichever convention, collected and turned into spans."""
