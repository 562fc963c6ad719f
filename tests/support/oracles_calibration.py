"""Measures of calibration, written out image by image."""

import math


def softmax(scores):
    largest = max(scores)
    parts = [math.exp(score - largest) for score in scores]
    return [part / sum(parts) for part in parts]


def brier(probabilities, labels):
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        total += sum((p - (k == label)) ** 2 for k, p in enumerate(row))
    return total / len(labels)


def binned_error(confidences, happened, bins):
    """|how often it happened - mean confidence|, over bins open below and closed above, weighted by their sizes."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, c in enumerate(confidences) if low < c <= high or (c == 0 and number == 0)]
        if inside:
            mean = sum(confidences[i] for i in inside) / len(inside)
            often = sum(happened[i] for i in inside) / len(inside)
            error += len(inside) / len(confidences) * abs(often - mean)
    return error


def adaptive_error(confidences, happened, bins):
    """The same over bins of equally many, the first ones larger by one where that does not come out even."""
    order = sorted(range(len(confidences)), key=lambda i: confidences[i])
    size, more = divmod(len(order), bins)
    error, start = 0.0, 0
    for number in range(bins):
        inside = order[start : start + size + (number < more)]
        start += len(inside)
        if inside:
            mean = sum(confidences[i] for i in inside) / len(inside)
            often = sum(happened[i] for i in inside) / len(inside)
            error += len(inside) / len(order) * abs(often - mean)
    return error


def classwise_error(probabilities, labels, bins):
    classes = len(probabilities[0])
    of_class = [
        binned_error([row[k] for row in probabilities], [label == k for label in labels], bins) for k in range(classes)
    ]
    return sum(of_class) / classes


def auroc(confidences, correct):
    """How often a right one is more confident than a wrong one; None where there is no such pair."""
    right = [c for c, is_right in zip(confidences, correct, strict=True) if is_right]
    wrong = [c for c, is_right in zip(confidences, correct, strict=True) if not is_right]
    if not right or not wrong:
        return None
    return sum((a > b) + (a == b) / 2 for a in right for b in wrong) / (len(right) * len(wrong))
