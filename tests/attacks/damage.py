"""Damage to the bytes of a file, as faults and fools do it."""

from random import Random


def damaged(random: Random, whole: bytes) -> bytes:
    """``whole`` with bits flipped, a stretch zeroed, cut out, doubled or made up, or its end lost."""
    content = bytearray(whole)
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice([1, 8, 100, 5000]))
    match random.randrange(6):
        case 0:
            for _ in range(random.choice([1, 1, 2, 20])):
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
        case 1:
            content[start:end] = bytes(end - start)
        case 2:
            del content[start:end]
        case 3:
            content[start:start] = content[start:end]
        case 4:
            content[start:end] = random.randbytes(end - start)
        case 5:
            del content[start:]
    return bytes(content)
