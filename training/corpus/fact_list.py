"""Facts about using nemochat: pictures, keys, commands, personas, tools and documents. An answer and a block of wordings each.

Sources: the project's interaction and architecture pages and its issues.
"""

from __future__ import annotations

FACT_TEXTS: tuple[tuple[str, str], ...] = (
    (
        "Drag the picture into the window, paste its path, or type /image PATH.",
        """
        $how [attach|add|send|load|upload|insert] [a|my|one] [picture|jpeg|png|screenshot|file with a picture]
        $how [include|give you|show you|send you|put in] [a|my|one] [picture|jpeg|png|screenshot|file with a picture]
        $cmd [attach|add|load|open|insert] a picture
        how [does a picture|do pictures|do my pictures] get into the [chat|conversation|program]
        [what does /image do|what is /image|explain /image|/image]
        [what is /attach|what does /attach do|how does /image work|the image command]
        [attach|attaching|adding|sending|upload|uploading] [a picture|pictures|an image|images]
        where do i [put|drop|drag] [the|my] [picture|file]
        can you [look at|see|accept|take] [pictures|my picture|a photo from my disk]
        [i have|here i have] a picture on [my|the] disk. how do you get it
        how do i [ask|talk] about a picture [of mine|on my computer|from my disk]
        in what ways can i [give|show|send] you a picture
        does [drag and drop|dragging|dropping a file|pasting a path] work
        can i [drag|drop|paste] [a picture|pictures|files|a path] [in|here|into the window|]
        [is there|do you have] an upload button
    """,
    ),
    (
        "Drop several files at once or repeat /image PATH; the pictures are numbered in order.",
        """
        $how [attach|add|send|drop|load|use] [two|three|several|many|more than one|multiple] pictures
        [can|may] i [send|attach|drop] [two|several|more than one|many|multiple] [pictures|files] [at once|together|in one message|]
        how many pictures [can|may] i [attach|send|drop]
        [do you|does nemochat] [support|take|accept] [several|multiple|more than one] pictures
        [several|multiple|two] pictures [in one message|at once|together]
        is one picture [the limit|all i can send]
        what happens when i drop [several|many|two] [files|pictures]
        are [multiple|several] pictures [possible|allowed|supported]
        $how ask about [two|several|both] pictures [at once|together|]
        in what order are [the|several] pictures [taken|numbered|counted]
        how do i compare two pictures
        $cmd attach [several|two|more] pictures
    """,
    ),
    (
        "It reads PNG, JPEG, WebP, GIF, BMP and AVIF; HEIC is not supported.",
        """
        [what|which] [picture|] [formats|file formats|file types|kinds of files|types of files] [can|do] you [read|open|support|accept|take]
        [which|what] formats are [supported|accepted|allowed|possible][ for pictures|]
        [can|do] you [read|open|support|accept] [png|jpeg|jpg|webp|gif|bmp|avif|heic][ files| pictures|]
        [is|are] [png|jpg|webp|gif|heic|avif|bmp] [supported|accepted|possible|allowed|ok]
        does nemochat [read|support|open|accept] [png|jpeg|jpg|webp|gif|heic|avif|bmp]
        [supported|allowed] [picture|file] [formats|types]
        why does my heic [not work|fail|file not open]
        [what|which] kind of pictures [can|may] i [send|attach|drop]
        list the [picture|file] formats
        can i send a [webp|gif|heic|bmp|jpeg|jpg|avif] file
        my iphone picture [is heic|does not open|is not accepted]
        $how open a [heic|gif|webp] file
        what file [types|formats] are there for pictures
    """,
    ),
    (
        "Press Enter to send your message.",
        """
        $key send [a message|my message|the message|my question|it]
        $how send [a message|my message|the message|my question|what i typed]
        which key sends[ the message| my text|]
        what does [the enter key|enter|return] do
        [enter key|enter|what is enter for]
        how is a message sent
        [sending|send] [a message|messages]
        where is the send button
        i have typed my question. how do i send it
        [does|will] enter send [the message|it]
        how do i submit [my question|a message|the prompt]
    """,
    ),
    (
        "Press Shift+Enter, Ctrl+J or Alt+Enter for a new line.",
        """
        $key [insert|make|get|type|start|add|enter] a [new line|newline|line break]
        $how [insert|make|get|type|start|add|enter|write] a [new line|newline|line break|second line]
        [how|can i] write [several lines|more than one line|a message with many lines|multiple lines|a multi-line message]
        [new line|newline|line break|multi-line prompt][ key| shortcut|]
        what does [shift enter|shift+enter|ctrl+j|ctrl j|alt enter|alt+enter] do
        enter sends my message, but i want a new line
        which key [breaks the line|gives a new line|makes a new line|is for a newline]
        how do i type a message [of|with] two lines
        how to break a line [without sending|]
        shift+enter does not work [in my terminal|here]
    """,
    ),
    (
        "Press Esc to stop the reply; what was generated stays.",
        """
        $key [stop|cancel|interrupt|abort|halt|break off] [the|a|your] [reply|answer|generation|output|response]
        $how [stop|cancel|interrupt|abort|halt|break off] [the|a|your] [reply|answer|generation|output|response]
        [how do i|can i] make you [stop|stop talking|be quiet|shut up|stop writing]
        what does [esc|escape|the escape key] do
        [esc|escape key|esc key]
        the [answer|reply] is too long, how do i stop it
        is the text lost when i [stop|cancel|press esc]
        what happens [when|if] i [press esc|cancel the reply|stop a reply|interrupt you]
        [stop|cancel|interrupt|abort] [button|key]
        how do i end a [running|long] [answer|reply]
        which key [stops|cancels|interrupts] [the reply|you|the answer|generation]
    """,
    ),
    (
        "Press Ctrl+Q, or Ctrl+C twice, or type /quit.",
        """
        $key [quit|exit|leave|close|end] [nemochat|the program|the app|this|]
        $how [quit|exit|leave|close|end|get out of|shut down|terminate] [nemochat|the program|the app|this program|the application]
        $cmd [quit|exit|leave|close] [nemochat|the program|]
        what does [ctrl+q|ctrl q|/quit|ctrl+c|ctrl c|control c] do
        how do i get out[ of here|]
        which key [quits|closes|ends] [the program|nemochat|it]
        [quit|exit|quitting|/quit|exit key|quit key]
        how is nemochat [closed|quit|ended]
        why do i have to press ctrl+c twice
        i want to [quit|stop using it|close it|leave the program|exit]
        where is the exit
    """,
    ),
    (
        "Press Ctrl+P to open the command palette.",
        """
        $key open the [command palette|palette|command list|list of commands]
        $how open the [command palette|palette|list of commands|command menu]
        where is the [command palette|palette|menu|command list|menu of commands]
        what does [ctrl+p|ctrl p|control p] do
        [command palette|palette|ctrl+p]
        $what the command palette
        which key opens the [palette|command palette|menu]
        where do i find [all commands|all the commands|every command|the commands]
        is there a [menu|palette|list of all commands]
        how do i see [all commands|every command|what i can do here]
        how do i search for a command
    """,
    ),
    (
        "Press Ctrl+N or type /new to start a new chat.",
        """
        $key [start|open|begin|make] a [new|fresh|blank|empty] [chat|conversation]
        $how [start|open|begin|make|create] a [new|fresh|blank|empty|second] [chat|conversation]
        $cmd [start|open|begin] a new [chat|conversation]
        what does [ctrl+n|ctrl n|/new|the new command] do
        [new chat|new conversation|/new|start over|fresh start|ctrl+n]
        how do i [start over|begin again|start from scratch|begin a new talk]
        which key [starts|opens] a new [chat|conversation]
        i want [a new chat|another conversation|to start again]
        how do i get an empty chat
        can we [start over|begin anew|have a new conversation]
    """,
    ),
    (
        "Press Ctrl+R or type /open to open a saved chat.",
        """
        $key [open|load|resume|find|reopen] [a saved|an old|an earlier|a previous|my last] [chat|conversation]
        $how [open|load|resume|get back to] [a saved|an old|an earlier|a previous|yesterday's] [chat|conversation]
        $how [return to|find|reopen|continue with] [a saved|an old|an earlier|a previous|yesterday's] [chat|conversation]
        $cmd [open|load|resume] [a saved|an old|an earlier|a previous] [chat|conversation]
        what does [ctrl+r|ctrl r|/open|the open command] do
        [saved chats|open a chat|/open|old chats|open conversation|ctrl+r]
        where are my [old|saved|earlier|previous] [chats|conversations]
        which key opens [saved|old] chats
        how do i see [my chats|the list of chats|my conversations|what we talked about yesterday]
        can i [come back to|go on with|resume] a conversation[ later| tomorrow|]
        i closed nemochat. how do i get my chat back
    """,
    ),
    (
        "Press Ctrl+G to edit the prompt in your own editor.",
        """
        $key [open|use|start] [my|the|an external] editor
        $how [use|open|write in|edit the prompt in|edit in|type in] [my own editor|my editor|vim|emacs|nano|an external editor|the editor]
        what does [ctrl+g|ctrl g|control g] do
        [external editor|ctrl+g|editor key|edit in vim]
        which key opens [my|the] editor
        can i write my [message|prompt|question] in [vim|emacs|nano|another editor|my editor]
        i want to write a long [message|prompt] in [vim|my editor|an editor]
        does nemochat [use|open|respect] $EDITOR
        how do i edit a long prompt
        where can i edit the prompt [more easily|comfortably|in a real editor]
    """,
    ),
    (
        "Press F1 or type /help for help.",
        """
        $key [get|open|see|show] [help|the help|the keys|help on the keys]
        $how [get|open|see|show|find] [help|the help|the help page|the manual|a list of the keys|all keys|the key bindings]
        $cmd [get|see|show] [help|all keys]
        what does [f1|the f1 key|/help|the help command] do
        [help|/help|f1|help key|help page|list of keys|keyboard shortcuts|shortcuts|key bindings]
        where is the [help|manual|documentation|list of keys]
        which key [shows|opens] [the help|help]
        [what|which] keys [are there|can i use|do you have|does nemochat have|exist]
        where can i [read about|look up|find|see] the [keys|shortcuts|key bindings|keyboard shortcuts]
        i am lost, where is the help
        how do i learn the keys
    """,
    ),
    (
        "Press Up in an empty prompt to recall an earlier prompt.",
        """
        $key [recall|get back|repeat|find] [an earlier|my last|a previous|the last|an old] [prompt|question|message|input]
        $how [recall|get back|reuse|repeat|bring back|find] [an earlier|my last|a previous|the last|an old] [prompt|question|input]
        what does [the up key|the up arrow|up|arrow up] do
        [prompt history|input history|up arrow|up key|history of prompts]
        is there a [history|prompt history|history of what i typed]
        can i scroll through [my earlier|my old|previous] [questions|prompts|inputs]
        which key [brings back|recalls] [my last prompt|an earlier prompt|the last question]
        is [the prompt history|my history|what i typed] kept [across runs|after i quit|]
        how do i get what i typed before
        i want to ask the same question again without typing it
    """,
    ),
    (
        "Press r on a message, Ctrl+Enter, or type /regen.",
        """
        $key [regenerate|redo|repeat|retry|generate again] [a reply|the reply|the answer|an answer|the last answer]
        $how [regenerate|redo|retry|generate again|get another version of] [a reply|the reply|the answer|an answer|the last answer]
        $cmd [regenerate|redo|retry] [a reply|the answer]
        what does [/regen|the regen command|ctrl+enter|the r key|r] do
        [regenerate|/regen|regen|regenerating|retry|try again key]
        how do i get [another|a different|a new|a better] [answer|reply]
        [the answer|your reply] was bad, how do i try again
        can you answer [again|once more|differently] with a command
        which key [regenerates|redoes] [the reply|a reply|the answer]
        how do i make you [try again|answer again]
        i want a second [try|attempt|answer]
    """,
    ),
    (
        "Press Alt+Enter on a message or type /continue.",
        """
        $key [continue|extend|go on with|lengthen] [a reply|the reply|the answer|a cut-off reply|your answer]
        $how [continue|extend|go on with|resume|lengthen] [a reply|the reply|the answer|a stopped reply|a cut-off answer|your answer]
        $cmd [continue|extend] [a reply|the answer|the reply]
        what does [/continue|the continue command] do
        [continue|/continue|continue a reply|continue the answer|continuing]
        the [reply|answer] [was cut off|is not complete|stopped too early|ends in the middle], how do i go on
        how do i make you [go on|write more|finish the answer|continue]
        i stopped the reply and want [more|the rest|it to go on]
        [can i|how do i] get the rest of [the|an] [answer|reply]
        which key continues [a|the] reply
    """,
    ),
    (
        "Press Up twice, or e on a message, or type /edit.",
        """
        $key [edit|change|correct] [my last message|a message|the last message|my question]
        $how [edit|change|correct|fix|rewrite|modify] [my last message|a message|the last message]
        $how [edit|change|correct|fix|rewrite|modify] [my question|a typo in my message|what i sent]
        $cmd [edit|change|correct] [my last message|a message|the last message]
        what does [/edit|the edit command|the e key|e] do
        [edit|/edit|edit message|editing messages|edit the last message]
        can messages be [edited|changed|corrected]
        i made a typo in my last message
        [can i|how do i] resend [my message|the question] with a change
        which key [edits|changes] [a|the last|my] message
        is it possible to change what i said
    """,
    ),
    (
        "Press Left or Right in an empty prompt to swipe between alternative replies.",
        """
        $key [swipe|switch|go|change|move] between [replies|alternative replies|alternatives|answers|versions]
        $how [swipe|switch|go|change|move] between [replies|alternative replies|alternatives|answers|versions of a reply]
        [what are swipes|what is a swipe|explain swipes|what does swiping mean|swipes|swipe|swiping]
        what [do|does] the [left and right keys|left key|right key|left arrow|right arrow|arrow keys] do
        how do i see the [other|alternative|earlier] [replies|answers|version of the answer]
        i regenerated. where is the [first|old|earlier] [reply|answer]
        are [old|earlier|other] replies kept when i regenerate
        [alternative|other] replies
        how do i get back to the [first|previous] reply
        $cmd swipe between replies
    """,
    ),
    (
        "Type /fork to start a new conversation from here.",
        """
        $how [fork|branch|split|copy] [a|the|this] [chat|conversation]
        $cmd [fork|branch|split] [a|the|this] [chat|conversation]
        $whatcmd [/fork|the fork command|forking]
        [fork|/fork|branch|branching]
        can i try [another way|something else] from this point without losing the chat
        how do i make a [branch|copy] of this conversation
        how do i go on in two directions from here
        can a conversation [branch|be forked|be branched]
        i want a second conversation that starts [here|from this message]
        what does it mean to fork a chat
    """,
    ),
    (
        "Type /pin to pin a message so that the model always sees it.",
        """
        $how [pin|keep|hold] a message[ in view| in the window| in memory|]
        $cmd [pin|keep] a message
        $whatcmd [/pin|the pin command|pinning|a pinned message|pinned messages]
        [pin|/pin|pinned|pinned messages|pinned message]
        what does [pinned|a pinned message|pinning|the pin] mean
        how do i make sure [you do not forget|the model does not forget|it never forgets] [a message|something|this message]
        can i protect a message [from being forgotten|from trimming|]
        which messages are never forgotten
        i do not want [the model|you] to forget [this|my message|a message]
        how do i keep a message when the window is full
    """,
    ),
    (
        "Type /export to save the chat as Markdown, JSON or HTML.",
        """
        $how [export|save|write out|download] [a|the|this|my] [chat|conversation][ to a file| as a file|]
        $cmd [export|save] [a|the|this|my] [chat|conversation]
        $whatcmd [/export|the export command|exporting|an export]
        [export|/export|exporting|save as html|save as markdown|export formats]
        can i [save|export|get] the conversation as [html|markdown|json|a file|text]
        [what|which] formats can i export [to|]
        how do i share [a|this] conversation [with a friend|]
        how do i get my chat out of nemochat
        [is|can] [the chat|my conversation] be [exported|saved as a file]
        i want the chat as [html|a web page|markdown|json]
    """,
    ),
    (
        "Type /theme to choose a colour theme.",
        """
        $how [change|choose|pick|switch|set] [the theme|the look|a theme|the colour theme|a dark theme|a light theme|the looks]
        $cmd [change|choose|pick|switch|set] [the theme|a theme|the look]
        $whatcmd [/theme|the theme command|themes]
        [theme|/theme|themes|dark mode|light mode|night mode|dark theme]
        [is there|do you have|does nemochat have] a [dark mode|light mode|dark theme]
        [is there|do you have|does nemochat have] a [light theme|high contrast theme|theme for colour-blind people]
        how do i make it [dark|light|darker|brighter]
        i do not like [the colours|how it looks|these colours]
        can i [change|choose] the colours of [the program|nemochat|the interface]
        [which|what] themes are there
        where are the [themes|colour settings]
    """,
    ),
    (
        "Type /copy, or focus a message and choose copy.",
        """
        $how [copy|copy out|get] [a message|a reply|the answer|the last answer|the text|a code block|code][ to the clipboard|]
        $cmd copy [a message|a reply|the answer|the text]
        $whatcmd [/copy|the copy command]
        [copy|/copy|copying|clipboard|copy to clipboard]
        how does copying work
        how do i get [text|an answer|code] into the clipboard
        can i copy [the reply|the answer|text|code]
        i want your answer in [another program|my clipboard|the clipboard]
        which key copies [a message|the reply]
        how can i take [an answer|text] out of here
    """,
    ),
    (
        "Type /search and some words to search all conversations.",
        """
        $how [search|look through|find something in] [my|all|old|the] [chats|conversations|messages]
        $cmd search [my|all|old|the] [chats|conversations|messages]
        $whatcmd [/search|the search command]
        [search|/search|searching|full-text search|find in chats]
        can i search [my|old|all|in] [chats|conversations|messages]
        how do i find [something i said|an old message|a message|a word in my chats] [last week|again|]
        where did i [write|ask|say] something, how do i find it
        [is there|do you have] a search[ over conversations| function|]
        how do i find a conversation [by a word|about something|]
        i am looking for an old [message|answer]
    """,
    ),
    (
        "Type /rename to rename the conversation.",
        """
        $how [rename|give a title to|change the title of|change the name of|name] [a|the|this|my] [chat|conversation]
        $cmd [rename|name|give a title to] [a|the|this|my] [chat|conversation]
        $whatcmd [/rename|the rename command]
        [rename|/rename|renaming|chat title|conversation title]
        how do i change the [title|name][ of the chat| of a conversation| of this chat|]
        can i [give|set] [the chat|a conversation] [a name|a title|another title|another name]
        the title of my chat is wrong
        i want [another|a better] [title|name] for this [chat|conversation]
        how do conversations get their [names|titles]
        where do i set the title
    """,
    ),
    (
        "Type /clear to clear the conversation.",
        """
        $how [clear|empty|wipe] [the|this|my] [chat|conversation|screen]
        $cmd [clear|empty|wipe] [the|this|my] [chat|conversation|screen]
        $whatcmd [/clear|the clear command]
        [clear|/clear|clearing|clear chat|clear screen]
        how do i remove all messages
        how do i [make|get] the conversation empty[ again|]
        can i [clear|wipe] [everything|the messages|all messages]
        i want to [clear|wipe|empty] the chat
        delete all the messages here
        how do i clean up the [chat|screen]
    """,
    ),
    (
        "Type /stats to see speed and token counts.",
        """
        $how [see|show|get|find|read] [the speed|statistics|the stats|the timings|speed figures|token counts|how fast it is]
        $cmd [see|show|get] [the speed|statistics|the stats|the timings|token counts]
        $whatcmd [/stats|the stats command|the statistics]
        [stats|/stats|statistics|timings|speed figures]
        how fast [are you|is the model|is it|is nemochat]
        where [are|can i see|do i see] the [statistics|stats|timings|speed|tokens a second|tokens per second]
        how do i measure the speed
        how many tokens [a|per] second [do you make|do i get|is it]
        can i see how long [an answer|the reply|it] takes
        i want to know [how fast the model is|the tokens per second]
    """,
    ),
    (
        "Type /model to choose another model in a chat.",
        """
        $how [change|switch|choose|swap|select|pick] the model[ in a chat| in the middle of a chat|]
        $cmd [change|switch|choose|swap|select] the model
        $whatcmd [/model|the model command]
        [/model|model command|switch model|change model|choose model|other model]
        can i [use|switch to|change to] another model [in this chat|here|now|during a chat]
        how do i talk to another model
        where do i [select|choose|pick] the model
        i want another model for this chat
        is it possible to swap the model in the middle of a conversation
        how do i change which model answers
    """,
    ),
    (
        "Type /system TEXT to set the system text.",
        """
        $how [set|change|write|edit|give] [the|a|my own] [system text|system prompt|system message|instructions for the model]
        $cmd [set|change|write|edit] the [system text|system prompt|system message]
        $whatcmd [/system|the system command]
        [system prompt|/system|system text|system message|custom instructions]
        where [is|do i put|do i write] the [system prompt|system text|system message]
        can i [give|set|write] [a system prompt|a system text|instructions for the model|instructions]
        how do i tell the model how to behave
        i want to give the model [general|standing|fixed] instructions
        [what is|explain] a system [prompt|text|message]
        is there a system prompt
    """,
    ),
    (
        "A persona gives the model a name, a character and a manner. Choose one with /persona.",
        """
        $what [a persona|personas|the personas]
        $how [pick|choose|use|change|select|set|switch|get] [a|the|another|my] [persona|character|role]
        $cmd [pick|choose|use|change|select|set|switch] [a|the|another] [persona|character]
        $whatcmd [/persona|the persona command]
        [persona|/persona|personas|character|roleplay|role play]
        can you [play a role|be someone else|roleplay|speak like a pirate|be a wizard|pretend to be a detective]
        how do i make you [speak like a pirate|a character|play a role|someone else]
        what are personas for
        [which|what] [personas|characters] are there
        how do i [start a roleplay|roleplay with you|do roleplay]
        where do i find the personas
    """,
    ),
    (
        "Drop the card on the window or use /persona import; PNG, JSON and charx cards work.",
        """
        $how [import|load|use|add|open] [a character card|a community card|character cards|a tavern card]
        $how [import|load|use|add|open] [my character card|a persona card|a charx file|a card from sillytavern]
        $cmd [import|load|add] a [character card|card|persona card]
        [can|do] you [read|load|support|import] [character cards|cards from sillytavern|community cards|tavern cards|charx files]
        [character card|character cards|card import|import card|sillytavern cards|v2 cards]
        what is a character card
        does nemochat [support|know|read] [character cards|v2 cards|v3 cards|charx]
        where do i put [a|my] character card
        i have a card from the [roleplay community|internet]
        which [cards|card formats|kinds of cards] work
        are character cards [supported|possible]
    """,
    ),
    (
        "A lorebook holds entries that enter the prompt when their keywords appear.",
        """
        $what [a lorebook|lorebooks|the lorebook|lore entries|a character book|a world info]
        [lorebook|lore book|lorebooks|world info]
        what does [a|the] lorebook do
        how does [a|the] lorebook work
        what are lorebook entries[ for|]
        when does a lorebook entry [fire|enter|apply|appear]
        do you [have|support|know] lorebooks
        what is a lorebook [good for|used for]
        how do i give a [persona|character] background knowledge
        what is the use of lorebooks
        are lorebooks supported
    """,
    ),
    (
        "Tools are functions that the model may call, such as a calculator. Choose them with /tools.",
        """
        $what [a tool|tools|the tools|function calling|tool calling|a tool call|tool calls]
        $how [use|turn on|enable|switch on|choose|see|turn off|allow|add] [tools|the tools|a tool|function calling]
        $cmd [turn on|enable|choose|see|turn off|list] [tools|the tools|a tool]
        $whatcmd [/tools|the tools command]
        [tools|/tools|function calling|tool calling|tools command]
        [which|what] tools [are there|do you have|can you use|can you call|does nemochat have]
        how do i let you [calculate|use the calculator|look at the clock|call functions]
        can you [call functions|use tools|call tools]
        where [are|do i find] the tools
        how do i give you a [calculator|tool]
    """,
    ),
    (
        "Before a tool runs you are asked: once, always for this chat, or never.",
        """
        [is|are|will] [it|tools|a tool|tool calls] [safe|run without asking|run on their own|dangerous|run automatically]
        [do|will] you ask [me |]before [a tool runs|running a tool|calling a tool|you call a tool]
        $how [approve|allow|refuse|deny|forbid] a [tool|tool call]
        $what [tool approval|approval|the approval question|the approval of tools]
        [tool approval|approval|approve tools|tool safety|permission for tools]
        who decides whether a tool [runs|may run|is called]
        can a tool run without my [consent|permission|approval]
        why am i asked before a tool runs
        what [choices|options] do i have when a tool wants to run
        can i [always|permanently] allow a tool
    """,
    ),
    (
        "Add a document with /doc PATH or drop it on the window.",
        """
        $how [add|attach|load|give you|open|use|include|read] [a document|documents|a pdf|my notes|a text file|my documents|a file to read]
        $cmd [add|attach|load|open] [a document|documents|a pdf|a text file]
        $whatcmd [/doc|the doc command]
        [documents|/doc|doc command|add document|pdf|document]
        [can|do] you [read|search|use|open] [documents|my documents|pdfs|a pdf|text files|my notes]
        how do i ask [about|questions about] [a document|my pdf|my notes|a file]
        i have a [pdf|document|text] and want to ask about it
        where do i put my documents
        does nemochat [read|support] [pdf|documents|text files|word files]
        how do documents get into the [chat|conversation]
    """,
    ),
    (
        "nemochat shows the file and the passage that the answer rests on.",
        """
        how do i [know|see|check] where an answer [comes from|is from|was found]
        $how [see|check|find] [the source|the sources|the passage|the citation]
        [sources|source of an answer|citations|where does the answer come from]
        [do|does] [you|nemochat|the answer] [show|name|cite|give] [the source|sources|its source|its sources]
        which [document|passage|file] did [the|an] answer come from
        what are the sources [below|under|of] [a|the] reply
        [can i|how do i] check [an answer|what you say] against the document
        what is shown [under|with] an answer from a document
        are sources [shown|named|given]
        how are [answers from documents|documents] cited
    """,
    ),
    (
        "They are no longer seen by the model: the window was full and they were forgotten.",
        """
        what [do|does] the [dimmed|grey|faded|greyed out|dim] [messages|message|text] mean
        why [is|are] [some|the upper|the first|old|my old|these|my] [messages|message] [dimmed|grey|faded|greyed out|dim]
        [dimmed messages|grey messages|faded messages|dimmed|greyed out messages]
        $what [the dimmed messages|a dimmed message|dimmed messages|the dimmed part|the line of forgetting]
        what are the messages in [grey|faded text|dim text]
        what does it mean [when|if] a message is [dimmed|grey|faded|dim]
        what is the line [above which messages are grey|of forgetting|in the middle of the chat]
        some messages [look grey|are dimmed|have become pale]. why
        what does "the model no longer sees what is above" mean
        why does [part of the chat|the top of the chat|the beginning] look [dim|grey|faded]
        why did my old messages [turn grey|fade]
    """,
    ),
    (
        "The window is 4096 tokens; when it is full, the oldest messages are forgotten.",
        """
        how [long|big|large] is [the|your] [window|context|context window|context length|memory]
        $what [the window|the context window|the context length|the window of 4096 tokens|context|the context]
        how [much|many tokens|many words] can you [remember|see|hold|read][ at once|]
        [context window|context length|context size|4096 tokens|4096|context|window size]
        how many tokens [fit|are there|does the window have|can the model see]
        what happens when the [window|context|conversation] is [full|too long|over the limit]
        do you forget [things|old messages|what i said|]
        why [do|did] you forget [what i said|the beginning|my first message|things]
        is there a limit to the [conversation|length of a chat|chat]
        how [long|large] can a conversation [be|get]
        when are messages forgotten
    """,
    ),
    (
        "The context pane shows what fills the 4096 tokens: system, tools, documents, history, images, draft.",
        """
        $what the context pane
        $how see [what fills the window|how full the window is|how many tokens are left|how much context is used|what the model sees]
        [context pane|context bar|token meter|token bar]
        where [can|do] i see [how full the window is|the tokens|how many tokens are used|the used context]
        what does the context pane [show|mean|display]
        how many tokens are [left|used|free]
        how full is the [window|context]
        how do i know [when the window is full|what the model sees]
        what is the bar [on the right|in the context pane|with the tokens]
        is there a token meter
    """,
    ),
    (
        "Every conversation is saved at once in a library on your own disk.",
        """
        [are|is] [my chats|my conversations|this chat|this conversation|everything|the conversation|the chat] saved
        [do i have to|must i|how do i|should i] save [my chat|the conversation|this chat|my conversations]
        where are [my chats|my conversations|conversations|the chats|messages] [saved|stored|kept]
        $what [the library|a library]
        [library|saving|saved conversations|where is my data|storage]
        what [is lost|do i lose] when [the program crashes|i quit|my computer crashes|i close the window]
        [will|are] my [messages|chats] [be lost|lost] when i [quit|close nemochat|restart]
        does nemochat [save|keep|store] [my chats|conversations|what i say|everything]
        is anything sent [to the internet|to the cloud|away]
        where does nemochat keep [conversations|my chats|my data]
    """,
    ),
    (
        "Yes. The model runs on your own machine and needs no network.",
        """
        [do|does] [you|it|nemochat|the model] [need|use|require] [the internet|a network|a connection|internet|the cloud|an account]
        [can|does] [i use it|it work|nemochat work|you work|it run|nemochat run] [offline|without internet|without a network]
        [can|does] [i use it|it work|nemochat work|you work|it run|nemochat run] [without a connection|on a plane]
        are you [local|offline|in the cloud|online|running on a server]
        where [do you|does the model|does it] run
        [offline|offline use|local or cloud|no internet]
        is [my data|what i write|my picture] [private|safe|sent anywhere|kept private]
        does [it|nemochat|everything] run [locally|on my machine|on my own computer]
        do my [pictures|messages] leave my [machine|computer]
        is nemochat [local|offline|a cloud service]
        works offline
    """,
    ),
    (
        "Type a path or a slash first: nemochat completes paths and commands.",
        """
        [is there|do you have] [completion|autocomplete|tab completion|path completion]
        $how [complete|autocomplete] [a path|a command|paths|commands]
        [completion|autocomplete|tab completion|path completion]
        does nemochat complete [paths|commands|file names|what i type]
        do i have to type the whole [path|command|file name]
        can it complete [a path|commands|file names]
        does tab completion work
        is [completion|autocomplete] supported
        i do not want to type [long|whole] paths
        how does completion work
    """,
    ),
    (
        "Type two slashes, //text, to send a message that begins with a slash.",
        """
        $how [send|type|write] [a message|text|something] that [begins|starts] with a slash
        [double slash|two slashes|//|literal slash|escape a slash]
        what [do|does] [two slashes|a double slash|//] [mean|do]
        my message [begins|starts] with a slash and is [taken for|read as|treated as] a command
        can i send [/something|a slash|text with a slash at the start] [as text|to the model|]
        how do i escape [a|the] slash
        how do i write a slash at the [start|beginning]
        is a line with a slash always a command
        i want to send /text and not a command
        why was my message [with a slash|that begins with a slash] not sent
    """,
    ),
    (
        "nemochat says that it is unknown and offers the nearest command; it is not sent to the model.",
        """
        what happens [with|when i type|if i type] [an unknown|a wrong|a misspelt|a mistyped] command
        [unknown command|wrong command|mistyped command|unknown commands]
        i [mistyped|misspelt|got wrong] a command
        is [an unknown|a wrong|a mistyped] command sent to the model
        what if [a|the] command does not exist
        why is my command [unknown|not known|not found]
        what does "unknown command" mean
        do you correct [a mistyped|misspelt] command[s|]
        does the model see [unknown|mistyped] commands
        what about typos in commands
    """,
    ),
    (
        "Type /help for all; among them /image, /doc, /new, /open, /model, /persona, /tools, /export and /quit.",
        """
        [which|what] [slash commands|commands] [are there|do you have|can i use|can i type|do you know|exist|does nemochat have]
        [list|show me|tell me|name|give me] [the|all the|all|some] [slash commands|commands]
        [slash commands|commands|list of commands|all commands|command list|slash command]
        $what [a slash command|slash commands|the slash commands]
        what can i type after [a|the] slash
        what do the commands that begin with a slash do
        are there [any |][slash |]commands
        which commands begin with a slash
        what commands can you [take|understand|run]
        do you know any commands
    """,
    ),
    (
        "Paste it: an image on the clipboard becomes an attachment.",
        """
        $how [attach|paste|send|use|add] [a picture|a screenshot|an image] from [the|my] clipboard
        [can|may] i paste [a picture|a screenshot|an image][ from the clipboard| here|]
        does pasting [a picture|an image|a screenshot] work
        [paste picture|clipboard picture|clipboard image|paste a screenshot|pasting pictures]
        i copied [a picture|a screenshot|an image]. how do i [send|attach|use] it
        there is a picture on my clipboard
        how do i get a screenshot in here
        does nemochat [read|take|use] the clipboard
        is [a picture|an image] on the clipboard [accepted|attached|usable]
        can you take a screenshot from my clipboard
    """,
    ),
    (
        "Delete its token in the prompt; it goes as one unit.",
        """
        $how [remove|delete|drop|take away|get rid of|detach|cancel] [an attachment|a picture from the prompt|an attached picture]
        $how [remove|delete|drop|take away|get rid of|detach|cancel] [the attached picture|a wrong attachment]
        $key [remove|delete|detach] [an attachment|an attached picture]
        i attached the wrong picture
        can [an attachment|an attached picture] be removed
        [remove attachment|delete attachment|detach|remove picture|unattach]
        how do i undo attaching a picture
        the wrong picture is attached. how do i take it away
        i do not want to send this picture after all
        how do i take a picture out of my message
        how can i drop an attachment before sending
    """,
    ),
    (
        "Pictures show best in terminals with Sixel or Kitty graphics; others get half-blocks.",
        """
        [which|what] [terminal|terminals] [show|shows|can show|can display|display] pictures
        [does|can] my terminal show pictures
        why [is|does] the [preview|picture] [look so coarse|so coarse|blocky|look blocky|look bad|made of blocks]
        $what [sixel|kitty graphics|half-blocks|half blocks]
        [sixel|kitty graphics|half-blocks|terminal graphics|terminal support]
        how are pictures shown in [the|a] terminal
        [which|what] terminal should i use
        can a terminal show pictures
        the picture looks like coloured blocks
        do i need a special terminal for pictures
    """,
    ),
    (
        "The status line shows model, engine, context used, TTFT and tokens a second.",
        """
        $what [the status line|the status bar|the line at the bottom|the bottom line|status line]
        what [does|is in|is on] the [status line|status bar|bottom line][ show| mean| say|]
        [status line|status bar|bottom bar|status]
        where do i see which model is loaded
        what are the numbers [at the bottom|in the status line|in the bottom line]
        where is the state of the engine shown
        how do i read the status line
        what do the figures at the bottom mean
        which information is in the status line
        where can i see the state of the engine
    """,
    ),
)
