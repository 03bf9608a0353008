"""One expert's training without any search: what a plan for the time has to beat.

A small residual network, AdamW whose learning rate rises and then falls linearly to zero exactly when the time is over,
mirrored and shifted images, smoothed labels, and the average of the last weights.
"""

import keras
import numpy as np
import tensorflow as tf
from common import BATCH, MODEL, SECONDS, SEED, Record, count_seconds, read_part
from keras import layers

RECORD = Record()
WIDTHS = (16, 32, 64)
PEAK = 4e-3
WARMUP, END = 0.15, 0.96
"""Parts of the time after which the learning rate falls, and after which the training ends."""
SHIFT = 2


def convolve(net: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    net = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal")(net)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(net))


def make_model(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Returns a network from pixels 0..255 to logits."""
    images = layers.Input(shape)
    net = layers.MaxPooling2D(2, padding="same")(convolve(layers.Rescaling(1 / 255)(images), WIDTHS[0]))
    for width in WIDTHS[1:]:
        start = convolve(net, width)
        net = layers.Add()([convolve(start, width), start])
        if width != WIDTHS[-1]:
            net = layers.MaxPooling2D(2, padding="same")(net)
    net = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(net))
    return keras.Model(images, layers.Dense(classes)(net))


def compute_rate(part: float) -> float:
    return PEAK * max(part / WARMUP if part < WARMUP else (END - part) / (END - WARMUP), 1e-3)


def main() -> None:
    keras.utils.set_random_seed(SEED)
    (x, y), (x_validation, y_validation) = read_part("train"), read_part("validation")
    shape, classes = x.shape[1:], int(y.max()) + 1
    images, labels = tf.constant(x), tf.constant(y)
    model = make_model(shape, classes)
    optimizer = keras.optimizers.AdamW(PEAK, weight_decay=0.02, epsilon=1e-6)
    optimizer.build(model.trainable_variables)
    compute_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    averages: list[np.ndarray] = []

    @tf.function(reduce_retracing=True)
    def step(indices: tf.Tensor, rate: tf.Tensor) -> None:
        batch = tf.cast(tf.gather(images, indices), tf.float32)
        targets = tf.one_hot(tf.gather(labels, indices), classes)
        is_mirrored = tf.random.uniform([tf.shape(batch)[0], 1, 1, 1]) < 0.5
        batch = tf.where(is_mirrored, batch[:, :, ::-1], batch)
        batch = tf.pad(batch, [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT], [0, 0]])
        top, left = tf.unstack(tf.random.uniform([2], 0, 2 * SHIFT + 1, tf.int32))
        batch = batch[:, top : top + shape[0], left : left + shape[1]]
        batch.set_shape([None, *shape])
        optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            loss = compute_loss(targets, model(batch, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    rng, steps, is_over = np.random.default_rng(SEED), 0, False
    while not is_over:
        order = rng.permutation(len(y))
        for begin in range(0, len(y) - BATCH + 1, BATCH):
            part = count_seconds() / SECONDS
            if is_over := part >= END:
                break
            step(tf.constant(order[begin : begin + BATCH]), tf.constant(compute_rate(part), tf.float32))
            steps += 1
            if part > 0.8 and steps % 20 == 0:
                now = model.get_weights()
                averages = [0.95 * a + 0.05 * w for a, w in zip(averages, now, strict=True)] if averages else now
    if averages:
        model.set_weights(averages)
    classifier = keras.Sequential([model, layers.Softmax()])
    classifier.save(MODEL)
    predictions = classifier.predict(x_validation, batch_size=500, verbose=0).argmax(1)
    RECORD.note(float((predictions == y_validation).mean()))
    RECORD.write(trials=1, epochs=round(steps * BATCH / len(y), 1))


if __name__ == "__main__":
    main()
