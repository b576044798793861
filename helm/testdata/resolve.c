// A cluster's DNS for one process, by LD_PRELOAD: the name in RESOLVE_NAME has the addresses that stand in
// the file RESOLVE_FILE at that moment, one a line. A name server of our own would need port 53.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
  lookup *libc = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  const char *known = getenv("RESOLVE_NAME"), *path = getenv("RESOLVE_FILE");
  if (!name || !known || !path || strcmp(name, known) != 0) return libc(name, port, hints, found);
  FILE *file = fopen(path, "r");
  if (!file) return EAI_AGAIN;
  char address[64];
  *found = NULL;
  for (struct addrinfo **end = found; fscanf(file, "%63s", address) == 1;) {
    if (libc(address, port, hints, end) != 0) continue;
    while (*end) end = &(*end)->ai_next;
  }
  fclose(file);
  return *found ? 0 : EAI_NONAME;
}
