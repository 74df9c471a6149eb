"""From a trace to a diagnosis: which stage lost the evidence."""
