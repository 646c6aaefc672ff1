/* The service that is measured: a few pages of static C. Also what the measuring needs close to the kernel.
 *
 *   service wait STAMPS              stamp, then wait for a signal
 *   service serve STAMPS PORT        stamp, then answer HTTP
 *   service flood STAMPS LINES       stamp, print numbered lines of 100 bytes, stamp again, wait for a signal
 *   service hold STAMPS NUMBER       open so many descriptors, stamp, wait for a signal
 *   service kill PID                 print the time, then send SIGKILL
 *   service exec STAMPS PROGRAM ...  stamp, then become the program
 *
 * A stamp is one appended line: process id, CLOCK_MONOTONIC in nanoseconds. It is the first thing main does, but for `hold`.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void stamp(const char *path, long long at) {
  char line[64];
  int length = snprintf(line, sizeof line, "%d %lld\n", (int)getpid(), at);
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (file < 0 || write(file, line, length) != length) _exit(70);
  close(file);
}

static void serve(int port) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) _exit(71);
  for (;;) {
    char request[4096];
    int connection = accept(listener, 0, 0);
    if (connection < 0) continue;
    if (read(connection, request, sizeof request) > 0) (void)!write(connection, answer, sizeof answer - 1);
    shutdown(connection, SHUT_WR);
    while (read(connection, request, sizeof request) > 0) {}
    close(connection);
  }
}

static void flood(long long lines) {
  static char block[655 * 100];
  long long next = 0;
  memset(block, 'x', sizeof block);
  while (next < lines) {
    size_t length = 0;
    while (next < lines && length < sizeof block) {
      char number[21];
      snprintf(number, sizeof number, "%019lld ", next++);
      memcpy(block + length, number, 20);
      block[length + 99] = '\n';
      length += 100;
    }
    for (size_t done = 0; done < length;) {
      ssize_t written = write(1, block + done, length - done);
      if (written <= 0) _exit(72);
      done += written;
    }
  }
}

int main(int count, char **arguments) {
  long long at = now();
  if (count < 3) return 64;
  const char *mode = arguments[1];
  if (!strcmp(mode, "kill")) {
    at = now();
    if (kill(atoi(arguments[2]), SIGKILL)) return 73;
    printf("%lld\n", at);
    return 0;
  }
  if (!strcmp(mode, "hold") && count > 3)
    for (int left = atoi(arguments[3]); left > 0; left--)
      if (open("/dev/null", O_RDONLY) < 0) return 75;
  stamp(arguments[2], at);
  if (!strcmp(mode, "serve") && count > 3) serve(atoi(arguments[3]));
  if (!strcmp(mode, "exec") && count > 3) {
    execvp(arguments[3], arguments + 3);
    return 74;
  }
  if (!strcmp(mode, "flood") && count > 3) {
    flood(atoll(arguments[3]));
    stamp(arguments[2], now());
  }
  for (;;) pause();
}
