"""Memory samples and Python stacks into the lines that grew, and how much looking they may cost."""
