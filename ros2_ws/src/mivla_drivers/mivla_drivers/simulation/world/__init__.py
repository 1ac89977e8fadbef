"""The simulated world: physics, furniture, textures, and what its cameras see."""
