"""What tasks leave when they are done: what their handlers returned, and the tasks that follow them."""
