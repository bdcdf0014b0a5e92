"""The worker: claims tasks, has their handlers do them, settles what became of them."""
