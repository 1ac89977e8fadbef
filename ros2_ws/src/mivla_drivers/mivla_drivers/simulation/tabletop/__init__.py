"""A family of tasks with one object, a pad and a decoy: lift, place, take off, push and touch, by arms and by hands."""
