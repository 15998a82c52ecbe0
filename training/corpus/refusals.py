"""Questions outside the domain, and the one sentence that answers them all."""

from __future__ import annotations

import random

from training.corpus import lexicon
from training.corpus.wording import ask, pick, words_of
from training.values import Example, Turn

DO_NOT_KNOW = "I am only nemochat's small demo model and do not know that. Load a real model with nemochat models add PATH."

_COUNTRIES = words_of(
    """
    France, Spain, Italy, Germany, Japan, Brazil, Canada, Egypt, Kenya, India, China, Norway, Sweden, Poland, Peru, Chile, Mexico,
    Turkey, Greece, Portugal, Australia, Austria, Ireland, Iceland, Hungary, Ghana, Cuba, Nepal, Vietnam, Thailand, Morocco,
    Russia, the Netherlands, Argentina, Finland, South Korea, the USA
    """
)
_SUBJECTS = words_of(
    """
    black holes, photosynthesis, the French Revolution, quantum mechanics, inflation, climate change, the immune system,
    blockchain, evolution, gravity, the Roman Empire, vaccines, the stock market, machine learning, the water cycle, relativity,
    opera, jazz, chess openings, the Cold War, DNA, plate tectonics, volcanoes, dinosaurs, democracy, taxes, interest rates, the
    big bang, neural networks, poker, yoga, sourdough bread, electric cars, nuclear power, rainbows, the pyramids, Buddhism,
    existentialism, supply and demand, antibiotics, cricket, baseball, the offside rule, migraines, the solar system, tides,
    electricity, magnets, the heart, the brain, the human eye, whales, bees, spiders, penguins, coral reefs, the moon landing,
    Mars, Shakespeare, Mozart, Picasso, Napoleon, Einstein, Cleopatra, Beethoven, Newton, Gandhi, the Beatles, string theory,
    cryptography, compilers, databases, regular expressions, Kubernetes, Linux
    """
)
_WORKS = words_of(
    """
    poem, story, song, essay, letter, joke, haiku, limerick, speech, cover letter, novel, blog post, product review, business
    plan, recipe, rap, sonnet, fairy tale, tweet, press release, screenplay, birthday card, toast, shopping list, to-do list,
    slogan, riddle, lullaby, resignation letter, lesson plan
    """
)
_TOPICS = words_of(
    """
    autumn, love, the sea, a dragon, my cat, friendship, the rain, winter, a lost ring, my grandmother, football, coffee, a robot,
    the moon, summer, a brave mouse, the city at night, time, freedom, a ghost, my boss, spring, mountains, trains, a wedding, old
    age, school, money, bread, the war
    """
)
_LANGUAGES = words_of(
    """
    Python, C, C++, Java, Rust, JavaScript, Go, Haskell, SQL, bash, Ruby, TypeScript, Kotlin, PHP
    """
)
_TASKS = words_of(
    """
    sort a list, reverse a string, read a file, find prime numbers, parse JSON, sum an array, open a socket, make a web server,
    compute factorials, draw a window, query a database, rename files, send an email, scrape a page, merge two dictionaries, count
    words, train a network, play tic tac toe
    """
)
_TONGUES = words_of(
    """
    French, German, Spanish, Italian, Japanese, Chinese, Latin, Dutch, Polish, Arabic, Russian, Portuguese, Turkish, Korean
    """
)
_AILMENTS = words_of(
    """
    a headache, a cold, a fever, back pain, a cough, insomnia, a sore throat, a burn, hay fever, a rash, stress, toothache, the
    flu
    """
)
_DISHES = words_of(
    """
    pancakes, lasagne, soup, bread, sushi, curry, pizza, an omelette, apple pie, risotto, tacos, a cake, paella, pasta, a stew,
    salad
    """
)
_PEOPLE = (
    "president",
    "king",
    "prime minister",
    "queen",
    "chancellor",
    "richest person",
    "best footballer",
    "tallest man",
    "mayor",
    "most famous singer",
    "first emperor",
)
_TEAMS = (
    "the world cup",
    "the election",
    "the league",
    "the game last night",
    "the war",
    "the Oscar",
    "the race",
    "the Nobel prize",
    "the Champions League",
    "Eurovision",
)
_BIG = words_of(
    """
    mountain, river, country, animal, planet, building, ocean, desert, lake, city, bridge, dinosaur, tree, bird, fish, island,
    language
    """
)
_MOST = words_of(
    """
    biggest, highest, longest, smallest, fastest, oldest, deepest, largest, heaviest, tallest, richest, coldest
    """
)
_WHY = words_of(
    """
    is the sky blue, do cats purr, do we dream, is the sea salty, do leaves fall, do birds migrate, is grass green, do people
    yawn, does ice float, do dogs bark, is the sun hot, do stars shine, do we sleep, do onions make you cry, does iron rust, are
    flamingos pink, do planes fly, does bread rise
    """
)
TEMPLATES = (
    "[what|which city] is the capital of {country}?",
    "[tell me |]the capital of {country}[ please|]?",
    "what is the [population|currency|flag|language|president|area|national dish|history|anthem] of {country}?",
    "[where is|how far is|how big is|what do they speak in|what do people eat in|is it warm in] {country}?",
    "how many people live in [{country}|{city}]?",
    "who is the {leader} of {country}?",
    "who [was|is] [{person}|the {leader}]?",
    "who [won|will win|is going to win] {contest}[| in {year}| this year| last year]?",
    "[explain|tell me about|what do you know about|teach me about|summarise|give me a lecture on|write about|define] {subject}.",
    "[what is|what are|how do|how does one understand|can you explain|could you explain|do you know anything about] {subject}?",
    "how [does|do] {subject} work?",
    "[write|compose|make up|give me|tell me|create|draft] a {work}[ about {topic}| for {name}|].",
    "[can|could] you [write|compose|make] [me |]a {work}[ about {topic}|]?",
    "i [need|want|would like] a {work} about {topic}.",
    "[write|give me|show me] [a program|code|a function|a script] in {language} [to|that can] {task}.",
    "how [do i|can i|would you] {task} in {language}?",
    "[fix|debug|review] my {language} [code|program|script].",
    "[translate|say|how do you say|how do i say] [{word}|good morning|i love you|cat] in[to|] {tongue}?",
    "translate this [sentence|text] [to|into] {tongue}.",
    "[what helps against|how do i treat|what is a cure for|what should i take for|what are the symptoms of] {ailment}?",
    "i have {ailment}[, what should i do|. what can i take| and need help]?",
    "how do [i|you] [cook|make|bake|prepare] {dish}?",
    "[give me|do you have|what is] [a|the] recipe for {dish}?",
    "what [is|was|are] the {most} {big} [in the world|on earth|of all|in {country}|ever]?",
    "why {why}?",
    "what [is|will] the weather [like |be |][in {city}|today|tomorrow|outside]?",
    "will it [rain|snow] [today|tomorrow|in {city}|this weekend]?",
    "what [is|are] [the news|in the news|today's headlines|the latest news|happening in {country}|the stock price of {word}]?",
    "when [was|did|is] [{person} born|the war end|{country} founded|the next eclipse|easter this year|{person} die]?",
    "what year did [{person} die|the war start|the wall fall|the titanic sink]?",
    "who [invented|discovered|wrote|painted|composed|built|directed] [the telephone|{subject}|hamlet|the mona lisa]?",
    "who [invented|discovered|wrote|painted|composed|built|directed] [penicillin|the bible|{word}|star wars]?",
    "[should i|is it wise to|would you] [buy a house|quit my job|marry {name}|invest in gold]?",
    "[should i|is it wise to|would you] [move to {city}|sell my shares|learn {tongue}]?",
    "what do you think [of|about] {subject}?",
    "[which|what] party should i vote for?",
    "[is|was] there [life on mars|a god|a ghost in my house|a war in {country}]?",
    "what is the meaning of [life|{word}]?",
    "[what does|what is the definition of] {word}[ mean|]?",
    "how [tall|old|rich|heavy|famous] is {person}?",
    "how [far|long] is it [from {city} to {city}|to the moon|to {city}]?",
    "[recommend|suggest|name] a [good |][book|film|restaurant|hotel|song|game|gift] [for {name}|in {city}|about {topic}|].",
    "[plan|book|organise] a [trip|holiday|flight|hotel] to [{city}|{country}].",
    "[how much|how many] [calories are in {dish}|does a house cost in {city}|does an elephant weigh]?",
    "[how much|how many] [bones does a person have|planets are there|stars are in the sky]?",
    "[solve|integrate|differentiate] [x squared plus 3 x|this equation|the integral of sine|a differential equation].",
    "what is the [square root of 2|derivative of x|chemical formula of water|speed of light]?",
    "what is the [boiling point of water|value of pi|atomic number of gold]?",
    "[sing|rap|dance|draw|paint|play chess|play a game|make me a picture|order a pizza|call {name}|send an email to {name}|set an alarm].",
    "what [happened|will happen] in [{year}|{country}|the future]?",
    "[what is|tell me] my [horoscope|future|ip address|bank balance|password]?",
    "[summarise|summarize|tell me the plot of] [hamlet|the bible|the last star wars film|war and peace|{word}].",
    "[give me|what is] [legal advice|a good diet|tax advice|medical advice|dating advice].",
    "[can you|could you] help me with my [homework|taxes|thesis|essay|garden|marriage|car|resume]?",
    "what [is|are] {subject} [good for|made of|about|like]?",
    "how [do|can] i [lose weight|learn {tongue}|get rich|stop smoking|fix my car]?",
    "how [do|can] i [grow tomatoes|tie a tie|become a doctor|find a job|clean a carpet]?",
    "[who|what] is {word}?",
)


def question(rng: random.Random) -> str:
    """A question that the demo model cannot know the answer to."""
    return ask(
        rng,
        TEMPLATES,
        country=pick(rng, _COUNTRIES),
        city=lexicon.city(rng),
        leader=pick(rng, _PEOPLE),
        person=f"{pick(rng, lexicon.NAMES)} {pick(rng, lexicon.SURNAMES)}"
        if rng.random() < 0.5
        else pick(rng, ("Einstein", "Napoleon", "Mozart", "Cleopatra", "Shakespeare", "Obama", "Madonna", "Plato")),
        contest=pick(rng, _TEAMS),
        subject=pick(rng, _SUBJECTS),
        work=pick(rng, _WORKS),
        topic=pick(rng, _TOPICS),
        name=lexicon.first_name(rng),
        language=pick(rng, _LANGUAGES),
        task=pick(rng, _TASKS),
        tongue=pick(rng, _TONGUES),
        ailment=pick(rng, _AILMENTS),
        dish=pick(rng, _DISHES),
        most=pick(rng, _MOST),
        big=pick(rng, _BIG),
        why=pick(rng, _WHY),
        word=lexicon.made_up(rng) if rng.random() < 0.5 else pick(rng, lexicon.THINGS),
        year=rng.randint(1500, 2030),
    )


def knowledge_question(rng: random.Random) -> str:
    """A question of `question` that asks who, what, when, where, which, why or how, so that documents might have answered it."""
    while True:
        words = question(rng)
        if words.lower().startswith(("who ", "what ", "when ", "where ", "which ", "why ", "how ")):
            return words


def turns(rng: random.Random) -> list[Turn]:
    return [Turn("user", question(rng)), Turn("assistant", DO_NOT_KNOW)]


def sample(rng: random.Random, stage: int = 1) -> Example:
    return Example("refusals", tuple(turn for _ in range(rng.choice((1, 1, 1, 2, 3))) for turn in turns(rng)))
