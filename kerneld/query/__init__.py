"""The process without rights that tells each user of the own incidents and kernels, and no others."""
