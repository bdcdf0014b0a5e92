"""What asyncflow is measured beside: the same work by hand, or by another library. A rival uses nothing of asyncflow."""
