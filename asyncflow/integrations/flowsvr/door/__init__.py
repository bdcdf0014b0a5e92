"""The door of the task service: who may come in, what is taken, what is answered to the rest."""
