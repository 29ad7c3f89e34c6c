"""Files of any size to the events that their logs state; reads them in blocks, opens nothing else."""
