/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "log.h"

#include <core/config.h>

G_BEGIN_DECLS

/* Reads the settings, once for each time that they are to hold. */
typedef Config *(*DaemonLoad) (gpointer user_data, GError **error);

typedef enum
{
  DAEMON_FAILED,                /* could not begin */
  DAEMON_ENDED,                 /* was told to stop */
  DAEMON_AGAIN,                 /* is to begin anew, in a process that remembers nothing */
} DaemonEnd;

/* Runs until it is over. @load is called again whenever the settings are to be read again. */
DaemonEnd daemon_run (const Config *config, DaemonLoad load, gpointer user_data, Log *log,
                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
