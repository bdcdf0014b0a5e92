"""Speech from text, in stages: a long task that polls a rendering service and survives the death of its worker."""
