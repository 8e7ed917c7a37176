"""Commands run on what an agent wrote, within limits: no sandbox for code that means harm."""
