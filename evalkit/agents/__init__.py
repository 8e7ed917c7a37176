"""Call the agent under test: Python functions, commands, HTTP services, chat models, recorded answers."""
