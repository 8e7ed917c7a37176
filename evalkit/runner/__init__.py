"""Plan a run, call the agent, score its answers and store every trial."""
