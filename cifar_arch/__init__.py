"""Architecture search for tiny CIFAR-10 networks under hard limits."""
