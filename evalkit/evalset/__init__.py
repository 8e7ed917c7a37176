"""Load eval sets, rubrics and labels from YAML, CSV and JSONL."""
