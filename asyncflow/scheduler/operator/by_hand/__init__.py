"""What a person has done out of its turn: runs and due times now, rows deleted before their time."""
