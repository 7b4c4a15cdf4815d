/* SPDX-License-Identifier: Apache-2.0 */
/* What the interposed calls (shim-calls.c) ask before they are made, and tell afterwards. */

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a call is about. The order is known to shim.py. */
typedef enum
{
  SHIM_JOURNAL,                 /* a file below the state folder */
  SHIM_FILE,                    /* any other one of the test's */
  SHIM_QMP,                     /* somebody's Unix socket: a monitor, a guest agent, a disk */
  SHIM_HTTP,                    /* a connection to an image service */
  SHIM_SPAWN,                   /* a process that is started */
  SHIM_NOTHING                  /* not the test's: libraries, /proc, the daemon's own clients */
} ShimClass;

/* The order is known to shim.py. */
typedef enum
{
  SHIM_OPEN, SHIM_CREATE, SHIM_READ, SHIM_WRITE, SHIM_SYNC, SHIM_LINK, SHIM_RENAME, SHIM_UNLINK,
  SHIM_TRUNCATE, SHIM_ALLOCATE, SHIM_MKDIR, SHIM_SPACE, SHIM_CONNECT, SHIM_SEND, SHIM_RECEIVE,
  SHIM_EXECUTE, SHIM_CALLS
} ShimCallName;

typedef enum
{
  SHIM_ERROR,                   /* it is not made, and fails with `error` */
  SHIM_SHORT,                   /* half of it is written */
  SHIM_KILL_BEFORE,             /* kill -9 of the daemon */
  SHIM_KILL_AFTER
} ShimFault;

/* The file that is named by QSNAP_SHIM_CONTROL, shared with the test; shim.py knows the layout. */
typedef struct
{
  uint32_t classes;             /* masks of what may fail; nothing while one of them is 0 */
  uint32_t calls;
  uint32_t at;                  /* the first that fails of them, counted from 1 */
  uint32_t repeat;              /* how many fail from then on; 0: all */
  uint32_t fault;
  int32_t error;
  uint32_t seen;                /* how many of them there were since, and how many have failed */
  uint32_t struck;
  uint64_t data;                /* how long the file with the data is */
} ShimControl;

enum { SHIM_PATH = 1024 };

/* One call. */
typedef struct
{
  ShimClass class;
  ShimCallName name;
  bool fails;                   /* it is not to be made: -1 and errno */
  bool halved;                  /* half of it is to be written */
  bool kills;                   /* the daemon dies after it */
  int error;
  char path[SHIM_PATH];
  char other[SHIM_PATH];        /* where a link or a new name leads */
} ShimCall;

void shim_begin_fd (ShimCall *call, ShimCallName name, int fd);
void shim_begin_path (ShimCall *call, ShimCallName name, int folder, const char *path);
void shim_begin_names (ShimCall *call, ShimCallName name, int folder, const char *path,
                       int other_folder, const char *other);
void shim_begin_socket (ShimCall *call, ShimCallName name, int fd, const void *address,
                        size_t size);
long shim_end (ShimCall *call, long result);
long shim_end_data (ShimCall *call, long result, const void *data, off_t offset);
