"""Load eval sets, rubrics, and labels from YAML, CSV, JSON, and Parquet."""

__all__ = [
    "base_version",
    "calibrations",
    "fields",
    "gate",
    "judges",
    "keys",
    "label_writer",
    "labels",
    "loader",
    "nodes",
    "project",
    "question_file",
    "rubrics",
    "selection",
    "set_files",
    "traffic_mix",
    "yaml",
    "yaml_scalars",
]
