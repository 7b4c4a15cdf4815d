/* SPDX-License-Identifier: Apache-2.0 */

/* Knows curl: one exchange, with deadlines, bounds and cancellation, in the thread that calls. */

#include "http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "error-private.h"
#include "line.h"

#define ANSWER_MAX  (16 * 1024 * 1024)
#define HEADERS_MAX 100
#define HEADER_MAX  (256 * 1024)        /* bytes of all of them */
#define UPLOAD_SIZE (256 * 1024)

struct _Http
{
  char      *ca_file;
  guint      connect_ms;
  guint      stall_s;

  GMutex     lock;
  GPtrArray *idle;              /* of Line: as many as there were exchanges at once */
};

/* Whatever belongs to the one exchange that a thread is busy with. */
typedef struct
{
  const HttpRequest *request;
  GCancellable      *cancellable;
  Line              *line;
  CURL              *easy;
  char               message[CURL_ERROR_SIZE];

  GHashTable        *headers;
  gsize              header_size;       /* all that came */
  GByteArray        *received;
  const char        *too_large; /* (nullable): what is */

  GError            *body_error; /* or the sink's */
  gboolean           holding;   /* sends nothing while an early answer is read */
  gboolean           held;      /* has done so before what is sent next */
  gboolean           starving;  /* the body has nothing to send now */
} Exchange;

/**
 * http_new:
 * @settings: deadlines and trust
 *
 * Returns: (transfer full): a client
 */
Http *
http_new (const HttpSettings *settings)
{
  Http *self = g_new0 (Http, 1);

  curl_global_init (CURL_GLOBAL_DEFAULT);

  self->ca_file = g_strdup (settings->ca_file);
  self->connect_ms = settings->connect_ms;
  self->stall_s = settings->stall_s;
  g_mutex_init (&self->lock);
  self->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) line_free);

  return self;
}

/**
 * http_free:
 * @self: (transfer full) (nullable): the client; no exchange may be under way
 */
void
http_free (Http *self)
{
  if (self == NULL)
    return;

  g_ptr_array_unref (self->idle);
  g_mutex_clear (&self->lock);
  g_free (self->ca_file);
  g_free (self);

  curl_global_cleanup ();
}

static Line *
take_line (Http *self)
{
  Line *line = NULL;

  g_mutex_lock (&self->lock);
  if (self->idle->len > 0)
    line = g_ptr_array_steal_index_fast (self->idle, self->idle->len - 1);
  g_mutex_unlock (&self->lock);

  return line != NULL ? line : line_new ();
}

static void
give_line_back (Http *self,
                Line *line)
{
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->idle, line);
  g_mutex_unlock (&self->lock);
}

static size_t
on_header (char   *data,
           size_t  size,
           size_t  n,
           void   *user_data)
{
  Exchange *exchange = user_data;
  size_t length = size * n;
  const char *colon = memchr (data, ':', length);

  exchange->header_size += length;
  if (exchange->header_size > HEADER_MAX)
    {
      exchange->too_large = "the answer's headers are larger than 256 KiB";
      return 0;
    }

  /* A status line: what came before belonged to "100 Continue". */
  if (length > 5 && memcmp (data, "HTTP/", 5) == 0)
    {
      g_hash_table_remove_all (exchange->headers);
    }
  else if (colon != NULL && g_hash_table_size (exchange->headers) < HEADERS_MAX)
    {
      g_autofree char *value = g_strndup (colon + 1, length - (size_t) (colon + 1 - data));
      g_autofree char *valid = g_utf8_make_valid (g_strstrip (value), -1);

      g_hash_table_insert (exchange->headers, g_ascii_strdown (data, colon - data),
                           g_steal_pointer (&valid));
    }

  return length;
}

/* What comes with any other status is a small text. */
static gboolean
goes_to_sink (Exchange *exchange)
{
  long status = 0;

  if (exchange->request->sink == NULL)
    return FALSE;
  curl_easy_getinfo (exchange->easy, CURLINFO_RESPONSE_CODE, &status);

  return status == 200;
}

static size_t
on_receive (char   *data,
            size_t  size,
            size_t  n,
            void   *user_data)
{
  Exchange *exchange = user_data;
  const GlanceSink *sink = exchange->request->sink;

  if (goes_to_sink (exchange))
    return sink->write (sink->data, data, size * n, &exchange->body_error) ? size * n : 0;

  if (exchange->received->len + size * n > ANSWER_MAX)
    {
      exchange->too_large = "the answer is larger than 16 MiB";
      return 0;
    }

  g_byte_array_append (exchange->received, (const guint8 *) data, (guint) (size * n));

  return size * n;
}

/* A server that refuses in the middle of the body answers and closes. Whoever sends one byte more
 * gets EPIPE and never sees the answer; so nothing is sent while there is something to read. That
 * is asked last of all, right before curl sends. */
static size_t
on_send (char   *buffer,
         size_t  size,
         size_t  n,
         void   *user_data)
{
  Exchange *exchange = user_data;
  GlancePipe *body = exchange->request->body;
  const char *data;
  gssize ready = glance_pipe_peek (body, &data, &exchange->body_error);
  gsize taken;

  if (ready < 0)
    return CURL_READFUNC_ABORT;
  if (ready == 0)
    {
      exchange->held = FALSE;
      exchange->starving = glance_pipe_get_left (body) > 0;
      return exchange->starving ? CURL_READFUNC_PAUSE : 0;
    }

  taken = MIN ((gsize) ready, size * n);
  memcpy (buffer, data, taken);

  if (!exchange->held && line_is_readable (exchange->line))
    {
      exchange->held = TRUE;
      exchange->holding = TRUE;
      return CURL_READFUNC_PAUSE;
    }

  exchange->held = FALSE;
  glance_pipe_skip (body, taken);

  return taken;
}

/* Asked for when a kept connection turned out to be dead, and the exchange moves to another one. */
static int
on_rewind (void       *user_data,
           curl_off_t  offset,
           int         origin)
{
  Exchange *exchange = user_data;

  if (offset != 0 || origin != SEEK_SET)
    return CURL_SEEKFUNC_CANTSEEK;

  exchange->held = FALSE;

  return glance_pipe_rewind (exchange->request->body, &exchange->body_error)
         ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static struct curl_slist *
make_headers (const HttpRequest *request)
{
  struct curl_slist *list = NULL;
  g_autofree char *token = g_strconcat ("X-Auth-Token: ", request->token, NULL);
  g_autofree char *subject = g_strconcat ("X-Subject-Token: ", request->subject_token, NULL);
  g_autofree char *id = g_strconcat ("X-Openstack-Request-Id: ", request->request_id, NULL);

  if (request->token != NULL)
    list = curl_slist_append (list, token);
  if (request->subject_token != NULL)
    list = curl_slist_append (list, subject);
  if (request->request_id != NULL)
    list = curl_slist_append (list, id);

  if (request->body != NULL)
    {
      list = curl_slist_append (list, "Content-Type: application/octet-stream");
      list = curl_slist_append (list, "Expect: 100-continue");
    }
  else
    {
      if (request->json != NULL)
        list = curl_slist_append (list, "Content-Type: application/json");
      list = curl_slist_append (list, request->sink != NULL ? "Accept: application/octet-stream"
                                                            : "Accept: application/json");
    }

  return list;
}

static void
prepare_body (Exchange *exchange)
{
  CURL *easy = exchange->easy;
  const HttpRequest *request = exchange->request;

  if (request->body != NULL)
    {
      curl_easy_setopt (easy, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt (easy, CURLOPT_INFILESIZE_LARGE,
                        (curl_off_t) glance_pipe_get_length (request->body));
      curl_easy_setopt (easy, CURLOPT_UPLOAD_BUFFERSIZE, (long) UPLOAD_SIZE);
      curl_easy_setopt (easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1000L);
      curl_easy_setopt (easy, CURLOPT_READFUNCTION, on_send);
      curl_easy_setopt (easy, CURLOPT_READDATA, exchange);
      curl_easy_setopt (easy, CURLOPT_SEEKFUNCTION, on_rewind);
      curl_easy_setopt (easy, CURLOPT_SEEKDATA, exchange);
    }
  else if (request->json != NULL)
    {
      gsize size = 0;
      gconstpointer data = g_bytes_get_data (request->json, &size);

      curl_easy_setopt (easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) size);
      curl_easy_setopt (easy, CURLOPT_POSTFIELDS, data);
    }

  /* After CURLOPT_UPLOAD and POSTFIELDS: both would set a method of their own. */
  curl_easy_setopt (easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void
prepare (Http              *self,
         Exchange          *exchange,
         struct curl_slist *headers)
{
  CURL *easy = exchange->easy;

  curl_easy_setopt (easy, CURLOPT_URL, exchange->request->url);
  curl_easy_setopt (easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt (easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
  curl_easy_setopt (easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt (easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt (easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt (easy, CURLOPT_USERAGENT, "qsnapd/" QSNAPD_VERSION);
  curl_easy_setopt (easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt (easy, CURLOPT_ERRORBUFFER, exchange->message);
  if (self->ca_file != NULL)
    curl_easy_setopt (easy, CURLOPT_CAINFO, self->ca_file);

  curl_easy_setopt (easy, CURLOPT_CONNECTTIMEOUT_MS, (long) self->connect_ms);

  curl_easy_setopt (easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt (easy, CURLOPT_HEADERDATA, exchange);
  curl_easy_setopt (easy, CURLOPT_WRITEFUNCTION, on_receive);
  curl_easy_setopt (easy, CURLOPT_WRITEDATA, exchange);

  prepare_body (exchange);
}

static void
wake (gpointer line)
{
  curl_multi_wakeup (((Line *) line)->multi);
}

static void
on_cancelled (GCancellable *cancellable,
              gpointer      line)
{
  wake (line);
}

static curl_off_t
count_moved (CURL *easy)
{
  curl_off_t up = 0;
  curl_off_t down = 0;

  curl_easy_getinfo (easy, CURLINFO_SIZE_UPLOAD_T, &up);
  curl_easy_getinfo (easy, CURLINFO_SIZE_DOWNLOAD_T, &down);

  return up + down;
}

/* Returns what became of it; CURLE_ABORTED_BY_CALLBACK when it was cancelled. */
static CURLcode
drive (Exchange *exchange,
       gint64    deadline,
       guint     stall_s)
{
  CURLM *multi = exchange->line->multi;
  GlancePipe *body = exchange->request->body;
  const char *next;
  CURLMsg *message;
  curl_off_t moved = 0;
  gint64 stalled = 0;           /* when it is */
  int running = 1;
  int queued = 0;

  while (TRUE)
    {
      gint64 now;

      if (curl_multi_perform (multi, &running) != CURLM_OK)
        return CURLE_FAILED_INIT;

      if (running > 0 && exchange->holding)
        {
          exchange->holding = FALSE;
          if (curl_multi_perform (multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
          if (running > 0)
            {
              curl_easy_pause (exchange->easy, CURLPAUSE_CONT);
              continue;
            }
        }

      if (running == 0)
        break;

      if (g_cancellable_is_cancelled (exchange->cancellable))
        return CURLE_ABORTED_BY_CALLBACK;

      now = g_get_monotonic_time ();
      if (stalled == 0 || count_moved (exchange->easy) != moved)
        {
          moved = count_moved (exchange->easy);
          stalled = now + (gint64) stall_s * G_USEC_PER_SEC;
        }
      if (now >= MIN (deadline, stalled))
        {
          if (now >= deadline)
            g_strlcpy (exchange->message, "no answer in the time it may take", CURL_ERROR_SIZE);
          else
            g_snprintf (exchange->message, CURL_ERROR_SIZE, "not a byte for %u seconds%s", stall_s,
                        exchange->starving ? " from what is to be sent" : "");
          return CURLE_OPERATION_TIMEDOUT;
        }

      if (exchange->starving && glance_pipe_peek (body, &next, NULL) != 0)
        {
          exchange->starving = FALSE;
          curl_easy_pause (exchange->easy, CURLPAUSE_CONT);
          continue;
        }

      curl_multi_poll (multi, NULL, 0,
                       (int) CLAMP ((MIN (deadline, stalled) - now) / 1000 + 1, 1, 60000),
                       NULL);
    }

  message = curl_multi_info_read (multi, &queued);

  return message != NULL && message->msg == CURLMSG_DONE ? message->data.result : CURLE_FAILED_INIT;
}

static void
set_curl_error (GError  **error,
                Exchange *exchange,
                CURLcode  result)
{
  const HttpRequest *request = exchange->request;
  const char *why = exchange->message[0] != '\0' ? exchange->message : curl_easy_strerror (result);
  GlanceError code;

  switch ((int) result)
    {
    case CURLE_OPERATION_TIMEDOUT:
      code = GLANCE_ERROR_TIMEOUT;
      break;
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      code = GLANCE_ERROR_INVALID;
      break;
    case CURLE_UNSUPPORTED_PROTOCOL:    /* the answer's: addresses are looked at before */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      code = GLANCE_ERROR_PROTOCOL;
      break;
    default:
      code = GLANCE_ERROR_UNAVAILABLE;
      break;
    }

  if (exchange->too_large != NULL)
    {
      code = GLANCE_ERROR_PROTOCOL;
      why = exchange->too_large;
    }

  glance_set_error (error, code, "%s %s: %s", request->method, request->url, why);
}

static HttpAnswer *
conclude (Exchange  *exchange,
          CURLcode   result,
          GError   **error)
{
  HttpAnswer *answer;
  long status = 0;

  if (exchange->body_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&exchange->body_error));
      return NULL;
    }
  if (g_cancellable_set_error_if_cancelled (exchange->cancellable, error))
    return NULL;

  /* A refusal counts even when the connection broke while it was read, or while the rest was
   * sent. */
  curl_easy_getinfo (exchange->easy, CURLINFO_RESPONSE_CODE, &status);
  if ((result != CURLE_OK && (status < 300 || exchange->too_large != NULL)) || status < 200)
    {
      set_curl_error (error, exchange, result);
      return NULL;
    }

  answer = g_new0 (HttpAnswer, 1);
  answer->status = (guint) status;
  answer->headers = g_hash_table_ref (exchange->headers);
  answer->body = g_byte_array_free_to_bytes (g_steal_pointer (&exchange->received));

  return answer;
}

static HttpAnswer *
exchange_run (Http               *self,
              const HttpRequest  *request,
              GCancellable       *cancellable,
              GError            **error)
{
  struct curl_slist *headers = make_headers (request);
  gint64 deadline = request->deadline > 0
                    ? request->deadline
                    : g_get_monotonic_time () + (gint64) self->stall_s * G_USEC_PER_SEC;
  Exchange exchange = {
    .request = request,
    .cancellable = cancellable,
    .line = take_line (self),
    .easy = curl_easy_init (),
    .headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free),
    .received = g_byte_array_new (),
  };
  gulong handler = 0;
  CURLcode result;
  HttpAnswer *answer;

  prepare (self, &exchange, headers);
  line_attach (exchange.line, exchange.easy);

  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), exchange.line, NULL);
  if (request->body != NULL)
    glance_pipe_set_wake (request->body, wake, exchange.line);
  result = drive (&exchange, deadline, self->stall_s);
  if (request->body != NULL)
    glance_pipe_set_wake (request->body, NULL, NULL);
  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, handler);

  answer = conclude (&exchange, result, error);

  curl_multi_remove_handle (exchange.line->multi, exchange.easy);
  curl_easy_cleanup (exchange.easy);
  curl_slist_free_all (headers);
  give_line_back (self, exchange.line);

  g_hash_table_unref (exchange.headers);
  g_clear_pointer (&exchange.received, g_byte_array_unref);
  g_clear_error (&exchange.body_error);

  return answer;
}

/**
 * http_perform:
 * @self: the client
 * @request: what to ask; @request->body starts at its front
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_UNAVAILABLE, _TIMEOUT, _INVALID (address, certificate) or _PROTOCOL;
 *   G_IO_ERROR_CANCELLED; or what @request->body, or @request->sink, said
 *
 * Blocks. Any answer is a success here, whatever its status; redirections are not followed.
 *
 * Returns: (transfer full): the answer
 */
HttpAnswer *
http_perform (Http               *self,
              const HttpRequest  *request,
              GCancellable       *cancellable,
              GError            **error)
{
  HttpAnswer *answer;
  sigset_t pipe_signal;
  sigset_t pending;
  sigset_t before;
  gboolean was_pending;

  if (g_cancellable_set_error_if_cancelled (cancellable, error))
    return NULL;

  /* TLS writes with write(): a peer that went away would raise SIGPIPE, which a library must
   * neither let through nor switch off for the whole process. */
  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  sigpending (&pending);
  was_pending = sigismember (&pending, SIGPIPE) == 1;
  pthread_sigmask (SIG_BLOCK, &pipe_signal, &before);

  answer = exchange_run (self, request, cancellable, error);

  if (!was_pending)
    sigtimedwait (&pipe_signal, NULL, &(struct timespec) { 0 });
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  if (answer != NULL)
    {
      const char *id = http_answer_get_header (answer, "x-openstack-request-id");

      g_debug ("%s %s: %u, request %s", request->method, request->url, answer->status,
               id != NULL ? id : "without an id");
    }

  return answer;
}
