"""The promise, shown: thousands of events, unreliable receivers, a killed worker, and nothing lost.

`python -m app.demo` runs it; `show` in `__main__` tells the story.
"""
