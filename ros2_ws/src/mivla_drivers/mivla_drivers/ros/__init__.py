"""What the nodes share: messages, network, running a node, publishing cameras."""
