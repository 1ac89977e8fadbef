"""What nodes and operators share on the ROS side."""
