"""Files in and out. pydantic checks them here, at the edge, and nowhere else."""
