"""From chunks to motor commands: trajectory player, safety gate, driver; knows no ROS, no clock, no robot."""
