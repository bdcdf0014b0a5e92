"""The show around the services: it starts them, does them harm, and reads the tables afterwards."""
