"""Records networks of the built-in spaces on several data sets, and chooses those that a search should try first.

``record`` trains each candidate, a space's default, its baselines and points drawn around its default, on some images
of each data set: a pass, and three more, each a complete cycle of the learning rate. It writes a file for each data set
after each network; the same command goes on where it was. Test images are not read.

``choose`` chooses greedily: the next point is the one that lowers most what is lost by the best point so far, in the
logarithm of the error, on average over data sets and over times. What is lost on a data set by points that were chosen
without it stands beside it: that is what a search on images that nobody has seen loses.

Run: taskset -c 1 python -m benchmarks.known_points record --data fashion_mnist.npz cifar10.npz flowers.npz:64
     python -m benchmarks.known_points choose --count 10
"""
