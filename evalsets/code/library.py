"""What the agent knows: functions it has collected over the years, some better than others.

Each stands alone, so that it can be handed over by itself.
"""


def backwards_words(text):
    """Reverse the order of the words in a text."""
    return " ".join(reversed(text.split()))


def palindrome(text):
    """Tell whether a text is a palindrome, reads the same backwards, whatever the case."""
    plain = text.lower().replace(" ", "")
    return plain == plain[::-1]


def vowels(text):
    """Count the vowels in a text."""
    return sum(letter in "aeiouAEIOU" for letter in text)


def shift_letters(text, shift):
    """Shift every letter in the alphabet, a Caesar cipher."""
    result = ""
    for letter in text:
        if letter.isupper():
            result += chr((ord(letter) - 65 + shift) % 26 + 65)
        elif letter.islower():
            result += chr((ord(letter) - 97 + shift) % 26 + 97)
        else:
            result += letter
    return result


def encode_runs(text):
    """Run-length encode: each letter with how often it is repeated in a row."""
    result, count = "", 0
    for index, letter in enumerate(text):
        count += 1
        if index + 1 == len(text) or text[index + 1] != letter:
            result, count = result + letter + str(count), 0
    return result


def titled(text):
    """Capitalise the first letter of every word, title case."""
    return text.title()


def anagram(one, other):
    """Tell whether two texts are anagrams, the same letters in another order."""
    return sorted(one.lower()) == sorted(other.lower())


def longest(text):
    """Find the longest word of a text, the first of several."""
    best = ""
    for word in text.split():
        if len(word) > len(best):
            best = word
    return best


def underscore(name):
    """Turn a camelCase name into snake_case."""
    result = ""
    for letter in name:
        result += "_" + letter.lower() if letter.isupper() and result else letter
    return result


def camel(name):
    """Turn a snake_case name into camelCase."""
    parts = name.split("_")
    return parts[0] + "".join(part.title() for part in parts[1:])


def without_repeats(text):
    """Remove repeated letters from a text, keeping the first of each."""
    seen = []
    for letter in text:
        if letter not in seen:
            seen.append(letter)
    return "".join(seen)


def shared_start(words):
    """Find the longest common prefix that all words share."""
    if not words:
        return ""
    prefix = words[0]
    for word in words:
        while not word.startswith(prefix):
            prefix = prefix[:-1]
    return prefix


def word_counts(text):
    """Count how often each word occurs in a text, as a mapping."""
    counts = {}
    for word in text.lower().split():
        counts[word] = counts.get(word, 0) + 1
    return counts


def shorten(text, length):
    """Cut a text to a length, with three dots at the end when it is longer."""
    if len(text) > length:
        return text[:length] + "..."
    return text


def pangram(text):
    """Tell whether a text is a pangram, uses every letter of the alphabet."""
    return all(letter in text.lower() for letter in "abcdefghijklmnopqrstuvwxyz")


def read_roman(numeral):
    """Turn a Roman numeral into a number."""
    worth = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = last = 0
    for letter in reversed(numeral):
        value = worth[letter]
        total += value if value >= last else -value
        last = max(last, value)
    return total


def write_roman(number):
    """Write a number as a Roman numeral."""
    result = ""
    steps = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC")]
    for value, letters in [*steps, (50, "L"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]:
        while number >= value:
            result += letters
            number -= value
    return result


def binary(number):
    """Write a number in binary digits, without a prefix."""
    return bin(number)[2:]


def distance(one, other):
    """Hamming distance: count the places at which two texts of equal length differ."""
    return sum(a != b for a, b in zip(one, other))


def edit_distance(one, other):
    """Levenshtein distance: the fewest edits that turn one text into the other."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def brackets(text):
    """Tell whether the brackets in a text are balanced."""
    stack = []
    closing = {")": "(", "]": "[", "}": "{"}
    for letter in text:
        if letter in "([{":
            stack.append(letter)
        elif letter in closing and (not stack or stack.pop() != closing[letter]):
            return False
    return not stack


def cross_sum(number):
    """Add up the digits of a number, their sum."""
    return sum(int(digit) for digit in str(abs(number)))


def product_up_to(number):
    """Factorial: the product of all numbers up to this one."""
    result = 1
    for factor in range(2, number + 1):
        result *= factor
    return result


def fib(index):
    """The Fibonacci number at an index."""
    before, now = 0, 1
    for _ in range(index):
        before, now = now, before + now
    return before


def prime(number):
    """Tell whether a number is prime, without divisors."""
    divisor = 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 1
    return number > 1


def common_divisor(one, other):
    """The greatest common divisor of two numbers."""
    while other:
        one, other = other, one % other
    return one


def sieve(limit):
    """List all prime numbers up to a limit."""
    is_left = [True] * (limit + 1)
    found = []
    for number in range(2, limit + 1):
        if is_left[number]:
            found.append(number)
            for multiple in range(number * number, limit + 1, number):
                is_left[multiple] = False
    return found


def factors(number):
    """List the prime factors of a number, smallest first, with repetition."""
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def perfect(number):
    """Tell whether a number is perfect, the sum of its proper divisors."""
    return sum(d for d in range(1, number) if number % d == 0) == number


def collatz(number):
    """Count the steps of the Collatz sequence until it reaches one."""
    steps = 0
    while number > 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
    return steps


def power_of_two(number):
    """Tell whether a number is a power of two."""
    return number > 0 and number & (number - 1) == 0


def mirrored(number):
    """Reverse the digits of a number."""
    return int(str(number)[::-1])


def limited(value, low, high):
    """Clamp a value between a low and a high limit."""
    return max(low, min(value, high))


def mean(numbers):
    """The average, or mean, of a list of numbers."""
    return sum(numbers) / len(numbers)


def middle(numbers):
    """The median of a list of numbers, the one in the middle once they are sorted."""
    ordered = sorted(numbers)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def most_frequent(numbers):
    """The most common number of a list, the mode."""
    return max(set(numbers), key=numbers.count)


def cumulative(numbers):
    """The running total of a list: all partial sums."""
    total, sums, count = 0, [], 0
    for number in numbers:
        total += number
        sums.append(total)
    return sums


def flat(nested):
    """Flatten a nested list into a plain one."""
    result = []
    for each in nested:
        if isinstance(each, list):
            result.extend(flat(each))
        else:
            result.append(each)
    return result


def pieces(items, size):
    """Split a list into chunks of a size, the last of which may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def turned(items, steps):
    """Rotate a list to the right by some steps."""
    length = len(items)
    return items[-steps:] + items[:-steps]


def distinct(items):
    """Remove duplicates from a list, keeping the order of what is unique."""
    result = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


def runner_up(numbers):
    """The second largest number of a list."""
    return sorted(numbers)[-2]


def merged(one, other):
    """Merge two sorted lists into one sorted list."""
    result = []
    one, other = list(one), list(other)
    while one and other:
        result.append(one.pop(0) if one[0] <= other[0] else other.pop(0))
    return result + one + other


def columns(matrix):
    """Transpose a matrix: turn its rows into columns."""
    return [list(column) for column in zip(*matrix)]


def find_sorted(numbers, wanted):
    """Binary search: the index of a number in a sorted list, or -1."""
    low, high = 0, len(numbers) - 1
    while low <= high:
        half = (low + high) // 2
        if numbers[half] == wanted:
            return half
        if numbers[half] < wanted:
            low = half + 1
        else:
            high = half - 1
    return -1


def best_sum(numbers):
    """The largest sum of a contiguous slice of a list (Kadane)."""
    best = now = 0
    for number in numbers:
        now = max(0, now + number)
        best = max(best, now)
    return best


def in_both(one, other):
    """The intersection of two lists: what is in both, sorted."""
    return sorted(set(one) & set(other))


def zeros_last(numbers):
    """Move all zeros of a list to its end, keeping the order of the others."""
    kept = [number for number in numbers if number]
    return kept + [0] * (len(numbers) - len(kept))


def triangle_row(index):
    """A row of Pascal's triangle."""
    row = [1]
    for step in range(index):
        row.append(row[-1] * (index - step) // (step + 1))
    return row


def ascending(numbers):
    """Tell whether a list is sorted in ascending order."""
    return all(a <= b for a, b in zip(numbers, numbers[1:]))


def same_backwards(text):
    """Tell whether the letters and digits of a text are a palindrome."""
    plain = [letter for letter in text.lower() if letter.isalnum()]
    return plain == plain[::-1]


def same_letters(one, other):
    """Tell whether two texts have the same letters, spaces left out: anagrams."""
    return sorted(one.lower().replace(" ", "")) == sorted(other.lower().replace(" ", ""))


def cut(text, length):
    """Cut a text to at most so many characters, three dots included."""
    if len(text) <= length:
        return text
    return text[: length - 3] + "..."


def spun(items, steps):
    """Rotate a list by any number of steps, more than it is long as well."""
    if not items:
        return []
    steps %= len(items)
    return items[-steps:] + items[:-steps]


def average_of(numbers):
    """The average of a list of numbers, ValueError when it is empty."""
    if not numbers:
        raise ValueError("no numbers")
    return sum(numbers) / len(numbers)


def second(numbers):
    """The second largest of the distinct numbers of a list, if there is one."""
    ordered = sorted(set(numbers), reverse=True)
    return ordered[1] if len(ordered) > 1 else None


def size(items):
    """The length of a list or a text, how many there are."""
    return len(items)
