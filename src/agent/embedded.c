/* The agent's program, in read-only data. MAYFLY_AGENT_BINARY is the path of the built agent; CMake makes this file
   depend on it. C, because this folder's *.cc make up the library that the agent itself is built from. */
__asm__(
    ".pushsection .rodata.mayfly_agent, \"a\", @progbits\n"
    ".balign 16\n"
    ".globl mayfly_embedded_agent_begin\n"
    ".globl mayfly_embedded_agent_end\n"
    "mayfly_embedded_agent_begin:\n"
    ".incbin \"" MAYFLY_AGENT_BINARY "\"\n"
    "mayfly_embedded_agent_end:\n"
    ".popsection\n");
